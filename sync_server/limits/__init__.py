"""How often somebody may ask: `window` counts, `budgets` says whose count it is, `requests` asks for both."""
