"""HTTP and composition: settings, the application, gateway, API, command line and embedded services."""
