"""The portal in a real browser: journeys, accessibility, keyboard, small screens, bad lines, pictures."""
