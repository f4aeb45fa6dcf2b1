"""Tags of the domain 行为分析."""
