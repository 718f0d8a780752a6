// Empty: its target holds the precompiled headers of the tests; main() is Catch2's.
