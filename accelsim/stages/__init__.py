"""The stages that join accelsim with ilp and faults; called by the pipeline only."""
