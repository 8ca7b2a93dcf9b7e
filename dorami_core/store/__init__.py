"""PostgreSQL, Redis, the embedded servers, migrations, durable deadlines."""
