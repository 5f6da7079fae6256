"""Looks at jobs for people: reads the coordinator and the storage, each fact once, and changes nothing.

Read it from `facts` (one task), through `stage` (a stage, read piece by piece) and `job`, to what is drawn from them:
`statistics`, `failures`, `timeline`, `trace`.
"""
