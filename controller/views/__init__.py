"""What is shown: one function for each, which the API, the command line, the pages and the metrics share."""
