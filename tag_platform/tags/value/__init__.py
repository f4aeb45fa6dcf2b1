"""Tags of the domain 价值管理."""
