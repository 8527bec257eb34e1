/* The 2-phase apply of one world: Freeze -> Switch -> Unfreeze, its rollbacks, the emergency stop and the resume.
 *
 * What is modelled: the world's row with every transition as one transaction; two coordinators that decide on what they
 * read and commit only if nothing moved; two relays that publish the outbox in order, conditional on the stream's last
 * message; two gateways, each with a runner, that follow the control events and let intents into the order stream; up to
 * two instances of one executor on one database, that read the order stream. Every process can be paused between any
 * two of its steps, for as long as one likes: that is what interleaving means. A lease may end at any moment.
 *
 * Scope, by -D: RUNS, ROLLBACKS, STOPS, RESUMES, LOST (leases), CRASHES (gateways), GAPS (events not delivered),
 * HOLES (marks that the stream loses), DUPS (marks that the stream repeats), TAKEOVERS (executor instances), INTENTS per
 * gateway, LIVE (a venue behind the executor's journal). Seeded bugs: the -DBUG_... switches below; each must be found.
 */

#ifndef RUNS
#define RUNS 1
#endif
#ifndef ROLLBACKS
#define ROLLBACKS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef RESUMES
#define RESUMES 0
#endif
#ifndef LOST
#define LOST 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef GAPS
#define GAPS 0
#endif
#ifndef HOLES
#define HOLES 0
#endif
#ifndef DUPS
#define DUPS 0
#endif
#ifndef TAKEOVERS
#define TAKEOVERS 0
#endif
#ifndef INTENTS
#define INTENTS 1
#endif
#ifndef COORDINATORS
#define COORDINATORS 1
#endif
#ifndef RELAYS
#define RELAYS 1
#endif
#ifndef GATEWAYS
#define GATEWAYS 2
#endif

#define MAXROWS   26
#define MAXSTREAM 26
#define MAXEPOCH  9
#define MAXIDS    6

/* Kinds of outbox rows; the first two are marks in the order stream, the others events in the control stream. */
#define FENCE    1
#define OPEN     2
#define FREEZE   3
#define SWITCH   4
#define UNFREEZE 5
#define EVENT(k) ((k) >= FREEZE)
/* Kinds that stand in the order stream besides marks. */
#define INTENT   6
#define HOLE     7

/* Phases of the run. */
#define NONE        0
#define FREEZING    1
#define SWITCHING   2
#define UNFREEZING  3
#define OPENING     4   /* ROLLING_BACK, the world opens again as it was */
#define DRAINING    5   /* ROLLING_BACK out of UNFREEZING: fenced, waiting for the executor before the restore */
#define COMPLETED   6
#define ROLLED_BACK 7
#define TERMINAL (phase == NONE || phase == COMPLETED || phase == ROLLED_BACK)

/* Holds, as bits. */
#define OPERATOR 1
#define FAILED   2

/* The world's row and its outbox. */
byte version, epoch, set = 1, hold, phase;
bool open;
byte prior_set, prior_hold, clears, phase_row, switched_epoch;
bool lost[GATEWAYS];
byte set_of[MAXEPOCH];
byte row_kind[MAXROWS], row_epoch[MAXROWS], row_set[MAXROWS];
byte rows, marked, there;    /* rows written; rows that the database knows as published; rows really in the streams */

/* The order stream. legit (ghost): stood between Open{e} and the next Fence when it was appended. */
byte s_kind[MAXSTREAM], s_epoch[MAXSTREAM], s_set[MAXSTREAM], s_id[MAXSTREAM];
bool s_legit[MAXSTREAM];
byte length;
byte g_fence; bool g_opened; bool opened[MAXEPOCH];    /* ghosts: the newest fence in the stream, whether open since */

/* Gateways and their runners. An intent in hand or in flight: its epoch (0: none), set and id. */
byte at[GATEWAYS], gw_epoch[GATEWAYS], gw_set[GATEWAYS];
bool gw_open[GATEWAYS], gw_up[GATEWAYS], missed[GATEWAYS];
byte hand_epoch[GATEWAYS], hand_set[GATEWAYS], hand_id[GATEWAYS];
byte fly_epoch[GATEWAYS], fly_set[GATEWAYS], fly_id[GATEWAYS];
byte emitted[GATEWAYS];

/* The executor's database, the venue, and who holds the token. */
byte x_at, x_fence, x_token;
bool x_open, x_skipped, x_resync, x_done[MAXIDS];
byte x_sending;              /* LIVE: 1 + id that may be at the venue */
byte v_session; byte venue[MAXIDS];

/* What may still go wrong. */
byte runs = RUNS, rollbacks = ROLLBACKS, stops = STOPS, resumes = RESUMES, losses = LOST, crashes = CRASHES,
     gaps = GAPS, holes = HOLES, dups = DUPS, takeovers = TAKEOVERS;

inline put(k) {
  assert(rows < MAXROWS);
  row_kind[rows] = k; row_epoch[rows] = epoch; row_set[rows] = set;
  rows++
}

inline moved() { version++; set_of[epoch] = set }

inline unfreeze_rows() {
#ifdef BUG_UNFREEZE_FIRST
  put(UNFREEZE); put(OPEN); phase_row = rows - 2
#else
  put(OPEN); put(UNFREEZE); phase_row = rows - 1
#endif
}

inline forget_lost() { byte q_; for (q_ : 0 .. GATEWAYS - 1) { lost[q_] = 0 } q_ = 0 }

/* Judged from the gateways themselves, not from their acknowledgements. */
inline assert_closed() {
  byte z_;
  for (z_ : 0 .. GATEWAYS - 1) { assert(lost[z_] || (!gw_open[z_] && fly_epoch[z_] == 0)) }   /* S4 */
  z_ = 0
}
inline assert_switched() {
  byte y_;
  for (y_ : 0 .. GATEWAYS - 1) { assert(lost[y_] || gw_set[y_] == set) }                       /* S4 */
  y_ = 0
}

#ifdef BUG_SKIP_GATEWAY
#define GATEWAY_DONE(g) true
#else
#define GATEWAY_DONE(g) (lost[g] || (gw_up[g] && !missed[g] && at[g] > phase_row && !gw_open[g] && fly_epoch[g] == 0))
#endif
#if GATEWAYS == 2
#define GATEWAYS_DONE (GATEWAY_DONE(0) && GATEWAY_DONE(1))
#else
#define GATEWAYS_DONE GATEWAY_DONE(0)
#endif

/* A live adapter acknowledges no fence while something may be on its way to the venue. */
#define FENCE_ACKED (x_fence == epoch && x_sending == 0 && !x_resync)
#define OPEN_ACKED  (x_fence == epoch && x_open)
#ifdef BUG_SKIP_EXECUTOR
#define EXECUTOR_FENCED true
#else
#define EXECUTOR_FENCED FENCE_ACKED
#endif
#define IDLE (marked == rows && there == rows && x_at == length)

/* ---- The transitions of the world. Each is one transaction. ---- */

inline start(what) {
  runs--; prior_set = set; prior_hold = hold; clears = what;
  epoch++; open = 0; put(FENCE); put(FREEZE); phase_row = rows - 1; phase = FREEZING; forget_lost(); moved()
}

inline commit_switch() {
  assert_closed();
  if
  :: clears -> hold = hold & (OPERATOR + FAILED - clears)
  :: else -> set = 3 - set
  fi;
  put(SWITCH); phase_row = rows - 1; switched_epoch = epoch; phase = SWITCHING; moved()
}

inline commit_unfreeze() {
  assert_switched();
  if
  :: hold -> phase = COMPLETED
  :: else -> open = 1; unfreeze_rows(); phase = UNFREEZING
  fi;
  moved()
}

inline open_again() {
  if
  :: hold -> put(FREEZE); phase = ROLLED_BACK
  :: else -> open = 1; unfreeze_rows(); phase = OPENING
  fi
}

inline next_epoch() {
#ifndef BUG_REUSE_EPOCH
  epoch++
#else
  skip
#endif
}

inline restore() { set = prior_set; hold = hold | prior_hold; switched_epoch = epoch; put(SWITCH) }

inline commit_rollback(cause) {
  if
  :: phase == FREEZING -> next_epoch(); put(FENCE); hold = hold | cause; open_again()
  :: phase == SWITCHING -> next_epoch(); put(FENCE); hold = hold | cause; restore(); open_again()
  :: phase == UNFREEZING ->
#ifdef BUG_RESTORE_UNFENCED
     hold = hold | FAILED; restore(); open = 0; put(FREEZE); phase = ROLLED_BACK
#else
     next_epoch(); open = 0; put(FENCE); put(FREEZE); phase_row = rows - 1; forget_lost(); phase = DRAINING
#endif
  fi;
  moved()
}

inline commit_drained() {
  assert_closed();
  hold = hold | FAILED; restore(); phase = ROLLED_BACK; moved()
}

/* Judged now, in the stop's own transaction, whatever a coordinator read before. */
inline commit_stop() {
  stops--; hold = hold | OPERATOR; epoch++; open = 0; put(FENCE); put(FREEZE);
  if
  :: phase == FREEZING || phase == OPENING -> phase = ROLLED_BACK
  :: phase == SWITCHING -> restore(); phase = ROLLED_BACK
  :: phase == UNFREEZING -> phase = COMPLETED
  :: phase == DRAINING -> phase_row = rows - 1
  :: else
  fi;
  moved()
}

/* Until the executor has acknowledged the newest mark, it is written again, with a new number and the same epoch. */
inline repeat_marks() { put(FENCE); if :: open -> put(OPEN) :: else fi }

/* ---- Coordinators: what they read, they act on only if it still stands. ---- */

#define TO_SWITCH   1
#define TO_UNFREEZE 2
#define TO_COMPLETE 3
#define TO_ROLLBACK 4
#define TO_DRAINED  5
#define TO_REPEAT   6
#define TO_UNDRAINED 7

#ifdef BUG_STALE_COMMIT
#define STANDS true
#else
#define STANDS (version == seen)
#endif

proctype Coordinator() {
  byte seen, act;
  bool failed;
end:
  do
  :: atomic { act == 0 && phase == FREEZING && EXECUTOR_FENCED && GATEWAYS_DONE -> seen = version; act = TO_SWITCH }
  :: atomic { act == 0 && phase == SWITCHING && GATEWAYS_DONE -> seen = version; act = TO_UNFREEZE }
  :: atomic { act == 0 && (phase == UNFREEZING || phase == OPENING) ->    /* all there, or its time is over */
       seen = version; act = TO_COMPLETE }
  :: atomic { act == 0 && phase == DRAINING && EXECUTOR_FENCED && GATEWAYS_DONE -> seen = version; act = TO_DRAINED }
  :: atomic { act == 0 && rollbacks && (phase == FREEZING || phase == SWITCHING || phase == UNFREEZING) ->
       rollbacks--; seen = version; act = TO_ROLLBACK; if :: failed = 0 :: failed = 1 fi }
  :: atomic { act == 0 && phase == DRAINING -> seen = version; act = TO_UNDRAINED }    /* its time is over */
  :: atomic { act == 0 && epoch && IDLE && ((open && !OPEN_ACKED) || (!open && !FENCE_ACKED)) && x_sending == 0 ->
       seen = version; act = TO_REPEAT }
  :: d_step { act && !STANDS -> act = 0; seen = 0; failed = 0 }
  :: d_step { act == TO_SWITCH && STANDS -> commit_switch(); act = 0; seen = 0 }
  :: d_step { act == TO_UNFREEZE && STANDS -> commit_unfreeze(); act = 0; seen = 0 }
  :: d_step { act == TO_COMPLETE && STANDS ->
       phase = (phase == UNFREEZING -> COMPLETED : ROLLED_BACK); moved(); act = 0; seen = 0 }
  :: d_step { act == TO_DRAINED && STANDS -> commit_drained(); act = 0; seen = 0 }
  :: d_step { act == TO_UNDRAINED && STANDS -> hold = hold | FAILED; phase = COMPLETED; moved(); act = 0; seen = 0 }
  :: d_step { act == TO_REPEAT && STANDS -> repeat_marks(); moved(); act = 0; seen = 0 }
  :: d_step { act == TO_ROLLBACK && STANDS -> commit_rollback((failed -> FAILED : 0)); act = 0; seen = 0; failed = 0 }
  od
}

/* ---- Relays ---- */

inline append(k, e, st, i) {
  assert(length < MAXSTREAM);
  s_kind[length] = k; s_epoch[length] = e; s_set[length] = st; s_id[length] = i;
  if
  :: k == FENCE && e > g_fence -> g_fence = e; g_opened = 0
  :: k == OPEN -> opened[e] = 1; if :: e == g_fence -> g_opened = 1 :: else fi
  :: k == INTENT ->
     assert(opened[e]);                                                              /* S11 */
     s_legit[length] = (g_opened && e == g_fence)
  :: else
  fi;
  length++
}

inline publish(n) {
  if
  :: !EVENT(row_kind[n]) -> append(row_kind[n], row_epoch[n], 0, 0)
  :: else
  fi;
  there++
}

proctype Relay() {
  byte row; bool busy;
end:
  do
  :: atomic { !busy && marked < rows -> row = marked; busy = 1 }
#ifdef BUG_BLIND_RELAY
  :: d_step { busy ->
       if
       :: there == row -> publish(row)
       :: there > row && !EVENT(row_kind[row]) -> append(row_kind[row], row_epoch[row], 0, 0)
       :: else
       fi;
       if :: marked == row -> marked++ :: else fi; busy = 0; row = 0 }
#else
  :: d_step { busy && there == row -> publish(row) }           /* and dies, or goes on */
  :: atomic { busy && there > row -> if :: marked == row -> marked++ :: else fi; busy = 0; row = 0 }
#endif
  :: d_step { busy && there == row && holes && !EVENT(row_kind[row]) ->      /* acknowledged, and lost */
       holes--; append(HOLE, 0, 0, 0); there++;
       if :: row_kind[row] == OPEN -> opened[row_epoch[row]] = 1 :: else fi }       /* S11 speaks of what was published */
  od
}

/* ---- Gateways and runners ---- */

/* The first event at or behind `to` that stands in the control stream; `there` if none does. */
inline next_event(to) {
  do
  :: to < there && !EVENT(row_kind[to]) -> to++
  :: else -> break
  od
}

inline apply_event(g, n) {
  if
  :: row_kind[n] == FREEZE -> gw_open[g] = 0
  :: row_kind[n] == SWITCH -> gw_set[g] = row_set[n]
  :: row_kind[n] == UNFREEZE -> gw_open[g] = 1
  fi;
  gw_epoch[g] = row_epoch[n]
}

#ifdef BUG_SNAPSHOT_AHEAD
#define RELAYED rows
#else
#define RELAYED marked
#endif

/* The state at the last relayed event; one that is older than what is held is refused. */
inline snapshot(g) {
  byte n_, last_;
  for (n_ : 0 .. RELAYED - 1) { if :: EVENT(row_kind[n_]) -> last_ = n_ :: else fi }
  gw_epoch[g] = row_epoch[last_]; gw_set[g] = row_set[last_]; gw_open[g] = (row_kind[last_] == UNFREEZE);
  at[g] = RELAYED; missed[g] = 0; gw_up[g] = 1;
  n_ = 0; last_ = 0
}

inline crash(g) {
  crashes--; lost[g] = 1;      /* its incarnation is over; the next one reads the snapshot first */
  gw_open[g] = 0; gw_up[g] = 0; at[g] = 0; missed[g] = 0; gw_epoch[g] = 0;
  fly_epoch[g] = 0; fly_set[g] = 0; fly_id[g] = 0
}

proctype Gateway(byte g) {
  byte to;
end:
  do
  :: d_step { gw_up[g] && at[g] < there ->
       to = at[g]; next_event(to);
       if
       :: to == there -> at[g] = to
#ifndef BUG_APPLY_GAP
       :: to < there && missed[g] -> gw_open[g] = 0; gw_up[g] = 0; at[g] = to     /* a number is missing */
#endif
       :: else -> apply_event(g, to); missed[g] = 0; at[g] = to + 1
       fi;
       to = 0 }
#if GAPS
  :: d_step { gaps && gw_up[g] && at[g] < there ->
       to = at[g]; next_event(to);
       if :: to < there -> gaps--; missed[g] = 1; at[g] = to + 1 :: else fi;
       to = 0 }
  /* The renewal of its lease tells a gateway where the world stands. */
  :: d_step { gw_up[g] && missed[g] && at[g] == there && marked == there -> gw_open[g] = 0; gw_up[g] = 0 }
#endif
  :: d_step { !gw_up[g] && RELAYED >= at[g] -> snapshot(g) }
  /* The runner decides, by the gate that it saw. */
  :: atomic { hand_epoch[g] == 0 && gw_open[g] && emitted[g] < INTENTS ->
       hand_epoch[g] = gw_epoch[g]; hand_set[g] = gw_set[g]; hand_id[g] = g * INTENTS + emitted[g]; emitted[g]++ }
  /* The gateway lets it in, or refuses it. */
#ifdef BUG_RESTAMP
  :: atomic { hand_epoch[g] && fly_epoch[g] == 0 && gw_open[g] ->
       fly_epoch[g] = gw_epoch[g]; fly_set[g] = hand_set[g]; fly_id[g] = hand_id[g] }
#else
  :: atomic { hand_epoch[g] && fly_epoch[g] == 0 && gw_open[g] && hand_epoch[g] == gw_epoch[g] ->
       fly_epoch[g] = hand_epoch[g]; fly_set[g] = hand_set[g]; fly_id[g] = hand_id[g] }
#endif
  :: atomic { hand_epoch[g] && fly_epoch[g] == 0 && !(gw_open[g] && hand_epoch[g] == gw_epoch[g]) && IDLE && TERMINAL ->
       hand_epoch[g] = 0; hand_set[g] = 0; hand_id[g] = 0 }
  /* What was fenced or is in doubt is sent again under its id, while the strategy is in the set. */
  :: atomic { hand_epoch[g] && fly_epoch[g] == 0 && gw_open[g] && hand_epoch[g] < gw_epoch[g] && hand_set[g] == gw_set[g] ->
       hand_epoch[g] = gw_epoch[g] }
  :: d_step { fly_epoch[g] -> append(INTENT, fly_epoch[g], fly_set[g], fly_id[g]);
       fly_epoch[g] = 0; fly_set[g] = 0; fly_id[g] = 0; hand_epoch[g] = 0; hand_set[g] = 0; hand_id[g] = 0 }
#if CRASHES
  :: d_step { crashes && fly_epoch[g] -> append(INTENT, fly_epoch[g], fly_set[g], fly_id[g]); crash(g) }   /* no answer */
  :: d_step { crashes && gw_up[g] -> crash(g) }
#endif
  od
}

/* ---- The executor ---- */

inline hand_over(i) {
  assert(s_legit[i]);                                                      /* S1, S2 */
  assert(s_epoch[i] >= switched_epoch);                                    /* S1: none after SWITCH commits */
  assert(s_set[i] == set_of[s_epoch[i]]);                                  /* S13 */
  venue[s_id[i]]++;
  assert(venue[s_id[i]] == 1)                                              /* S8 */
}

#define FENCED(e) ((e) > x_fence || x_resync)
#ifdef BUG_LATE_OPEN
#define OPENS(e) true
#else
#define OPENS(e) ((e) == x_fence && !x_resync)
#endif
#ifdef BUG_NO_TOKEN
#define MINE true
#else
#define MINE (x_token == me)
#endif
#ifdef BUG_NO_JOURNAL
#define FRESH(i) true
#else
#define FRESH(i) (!x_done[i])
#endif

proctype Executor(byte me) {
  byte here;       /* its own place in the stream: what it read when it took over, and each entry since */
  byte sent;       /* LIVE: 1 + place of what it is about to send */
end:
  do
  /* Take over: a new incarnation's token, the position of the database. */
  :: d_step { x_token != me && takeovers -> takeovers--; x_token = me; here = x_at;
#ifdef LIVE
#ifndef BUG_SETTLE_BY_ABSENCE
       v_session = me;
#endif
       x_sending = 0;     /* settled: by the venue's answer, its old session ended */
#endif
       sent = 0 }
  :: d_step { sent == 0 && here < length && (MINE || x_at > here) && (MINE || x_token != me) ->
       if
       :: MINE ->
          if
          :: s_kind[here] == HOLE -> x_skipped = 1
          :: s_kind[here] == FENCE || s_kind[here] == OPEN ->
             if
             :: x_skipped -> x_skipped = 0; x_open = 0; x_resync = 1       /* a number is missing */
             :: else
             fi;
             if
             :: s_kind[here] == FENCE && FENCED(s_epoch[here]) && s_epoch[here] >= x_fence ->
                x_fence = s_epoch[here]; x_open = 0; x_resync = 0
             :: s_kind[here] == OPEN && OPENS(s_epoch[here]) -> x_open = 1
             :: s_kind[here] == OPEN && s_epoch[here] > x_fence ->            /* its Fence was missed */
                x_fence = s_epoch[here]; x_open = 0; x_resync = 1
             :: else
             fi
          :: s_kind[here] == INTENT ->
#ifdef BUG_IGNORE_FENCE
             if
             :: FRESH(s_id[here]) ->
#else
             if
             :: x_open && s_epoch[here] == x_fence && FRESH(s_id[here]) ->
#endif
                x_done[s_id[here]] = 1;
#ifdef LIVE
                x_sending = here + 1; sent = here + 1
#else
                hand_over(here)
#endif
             :: else
             fi
          fi;
          here++; x_at = here
       :: else -> here = length              /* another has the token: it is over */
       fi }
#ifdef LIVE
  :: d_step { sent ->
       if
       :: v_session == me -> hand_over(sent - 1)
       :: else                               /* the venue ended this session */
       fi;
       if :: x_token == me -> x_sending = 0 :: else fi;
       sent = 0 }
#endif
  od
}

/* ---- What operators and the world do to it ---- */

active proctype Environment() {
end:
  do
  :: d_step { runs && TERMINAL && hold == 0 -> start(0) }
  :: runs -> runs = 0
  :: d_step { resumes && TERMINAL && hold -> resumes--; runs++; start((hold & OPERATOR -> OPERATOR : FAILED)) }
  :: resumes -> resumes = 0
  :: d_step { stops && epoch -> commit_stop() }
  :: stops -> stops = 0
  :: rollbacks -> rollbacks = 0
  :: gaps -> gaps = 0
  :: holes -> holes = 0
  :: takeovers -> takeovers = 0
  :: crashes -> crashes = 0
  :: d_step { losses && !TERMINAL -> losses--; lost[0] = 1 }
  :: losses -> losses = 0
  :: d_step { dups && length && (s_kind[0] == FENCE) -> dups--; append(FENCE, s_epoch[0], 0, 0) }
  :: d_step { dups && length > 1 && (s_kind[1] == OPEN) -> dups--; append(OPEN, s_epoch[1], 0, 0) }
  :: dups -> dups = 0
  od
}

/* ---- At rest ---- */

active proctype Rest() {
  timeout ->
  assert(TERMINAL);                                                        /* L1 */
  assert(epoch == 0 || x_open == open);                                    /* S12 */
  byte r;
  for (r : 0 .. GATEWAYS - 1) {
    assert(epoch == 0 || gw_open[r] == open);
    assert(epoch == 0 || !open || (gw_epoch[r] == epoch && gw_set[r] == set))
  }
}

init {
  atomic {
    byte i;
    /* The world is open at epoch 1, all have heard of it. */
    epoch = 1; open = 1; set_of[1] = 1; rows = 0;
    put(FENCE); put(OPEN); put(UNFREEZE);
    there = 3; marked = 3; append(FENCE, 1, 0, 0); append(OPEN, 1, 0, 0);
    x_at = 2; x_fence = 1; x_open = 1; x_token = 1; v_session = 1; phase = NONE; clears = 0;
    for (i : 0 .. GATEWAYS - 1) {
      at[i] = 3; gw_epoch[i] = 1; gw_set[i] = 1; gw_open[i] = 1; gw_up[i] = 1
    }
    i = 0;
    run Executor(1);
#if TAKEOVERS
    run Executor(2);
#endif
    run Gateway(0);
#if GATEWAYS == 2
    run Gateway(1);
#endif
    run Relay();
#if RELAYS == 2
    run Relay();
#endif
    run Coordinator();
#if COORDINATORS == 2
    run Coordinator();
#endif
  }
}
