"""What an instructor runs: release exercises, grade what comes back.

- `frames`, `worker`, `sandbox`: strangers' code runs in a cell, and only data comes out
"""
