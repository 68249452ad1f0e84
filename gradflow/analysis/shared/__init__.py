"""What several questions need: subjects, inputs, trajectories, norms of products, verdicts."""
