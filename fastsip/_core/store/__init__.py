"""Slots that outlive the process: commit, blocks, files, timing wheel, marks."""
