"""Computing on secret shares: the steps that protocols are made of."""
