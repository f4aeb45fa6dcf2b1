"""Tags of the domain 人口特征."""
