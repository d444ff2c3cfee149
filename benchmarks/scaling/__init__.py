"""How embeddings scale: graphs, the scheduler, worker processes, memory."""
