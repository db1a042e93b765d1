"""How the roles of a job find, recognise and hear each other: TLS 1.3, and nothing of CrypTen."""
