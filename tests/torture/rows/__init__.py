"""The rows of the report, in its order. One more is a module here and a line below.

fault_points is the last: it takes longest, and what the others did not need of their time is left to it.
"""

from torture.rows import (byte_cuts, disk_faults, drain, fault_points, fuzz, h2spec, idle_connections, journal_damage, mixed,
                          network_cells, outages, overload, percent_flips, random_kills, recorded_runs, simulator, smuggling)

ROWS = [module.ROW for module in (random_kills, simulator, journal_damage, network_cells, byte_cuts, outages, percent_flips,
                                  disk_faults, mixed, recorded_runs, drain, fuzz, h2spec, smuggling, idle_connections, overload,
                                  fault_points)]
