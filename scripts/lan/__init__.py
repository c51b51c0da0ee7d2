"""A small LAN of real `lanspread` processes, on one machine, for measuring.

`network` makes hosts out of network namespaces, `peer` drives one process, `games` makes payloads and
compares them, `lab` puts the three together for one scenario and clears everything away afterwards,
`report` holds figures against their targets, and `scenarios` are the stories themselves.
"""
