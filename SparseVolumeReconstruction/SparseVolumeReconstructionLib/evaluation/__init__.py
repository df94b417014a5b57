"""How good a system is: metrics, baselines, the frozen protocols, the report and the benchmark."""
