"""What may trade, followed from the control stream, and the runners' sessions."""
