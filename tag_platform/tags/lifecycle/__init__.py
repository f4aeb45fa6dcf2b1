"""Tags of the domain 生命周期."""
