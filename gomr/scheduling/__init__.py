"""The master-less protocol, written once on the primitives of a Coordinator (DESIGN.md, "The protocol")."""
