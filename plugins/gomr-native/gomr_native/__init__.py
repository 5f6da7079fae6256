"""The data plane of gomr's tasks in C; `gomr build` packs it into executables. See the README."""
