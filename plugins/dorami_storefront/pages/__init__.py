"""The pages, by what people come for. Each module has `register(router, site)`."""
