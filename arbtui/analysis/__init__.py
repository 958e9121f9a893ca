"""Frames, figures and controls for notebooks; nothing here is loaded before a notebook asks for it.

places   where the store is
frames   the store's rows as polars frames
review   what a window and a choice of lenders leave: exact figures, by the report's own fold
charts   a review as Altair pictures
tables   a review as HTML tables
widgets  the controls that choose what is reviewed
"""
