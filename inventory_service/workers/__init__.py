"""Several server processes on one address, under one process that supervises them and answers for all."""
