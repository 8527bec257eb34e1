"""The refusal of code that has no identity: what is refused, in which function, and the mend."""

from __future__ import annotations

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason


class CodeIdentityError(QmtlError):
    """Refuse a function whose computation cannot be named by content; ``subject`` is what stands in the way."""

    def __init__(self, subject: str, problem: str, mend: str) -> None:
        sentence = f"{subject} {problem}: {mend}"
        super().__init__(
            Reason.NO_CANONICAL_FORM,
            sentence,
            metadata={"subject": subject, "problem": problem, "mend": mend},
            violations=(FieldViolation(subject, f"{problem}: {mend}"),),
        )
        self.subject = subject
