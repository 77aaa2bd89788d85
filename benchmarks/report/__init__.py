"""What a run found, for people: tables, charts and the page of the documentation."""
