"""Made-up users for the local deployment, tests and benchmarks: the three source tables of the eight first tags, with
skewed values and the dirt of real tables. `users` invents rows, `warehouse` writes them. Nothing else imports it."""
