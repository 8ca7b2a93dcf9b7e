"""The Quart-Trio app: envelope, errors, CSRF, security headers, pages, and the core's own routes."""
