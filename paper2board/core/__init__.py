"""What every package uses: errors, files, configuration, evidence, statistics. It imports nothing else of ours."""
