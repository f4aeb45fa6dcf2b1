"""Tags of the domain 风险管理."""
