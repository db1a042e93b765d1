"""How the roles of a job find, recognise and watch each other, over TLS 1.3 and without CrypTen."""
