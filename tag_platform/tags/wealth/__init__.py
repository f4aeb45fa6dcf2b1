"""Tags of the domain 财富管理."""
