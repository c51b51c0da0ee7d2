"""The bench: lanspread beside what people would take instead, on one LAN of network namespaces.

`payload` makes and checks what is sent, `programs` are the senders, `gathering` puts one of them into a
room and watches it (`meter`), `scenarios` say who starts when and what must come of it, `record` keeps
the figures and writes the table, `plot` draws them.
"""
