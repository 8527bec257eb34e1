"""What a release may change beneath the one before it: the revisions of the schemas, judged."""
