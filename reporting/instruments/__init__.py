"""What is measured with: task modules, batteries, item banks. Drafts change; published versions never do."""
