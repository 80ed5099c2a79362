"""What studies of many trainings share: one training in a worker, all of them in turn, and tables of what came out."""
