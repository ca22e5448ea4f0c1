"""GourmetGram: says what kind of food a picture shows."""
