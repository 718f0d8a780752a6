"""scripts/torture: real databases under load and every fault there is (README.md)."""
