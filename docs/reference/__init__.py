"""Pages, manuals and completions, made of what the program says about itself."""
