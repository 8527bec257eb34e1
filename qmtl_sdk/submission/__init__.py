"""A submission from the author's side: compute under the world's terms, prove, send, read what the world decided."""
