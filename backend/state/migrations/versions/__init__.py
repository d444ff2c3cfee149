"""The migrations, in the order of their numbers. A migration that was released is never changed."""
