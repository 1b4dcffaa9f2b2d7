"""Networks and their training: teacher, baselines, distilled student."""
