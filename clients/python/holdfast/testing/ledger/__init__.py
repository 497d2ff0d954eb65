"""The ledger in memory: it books every commit of the stock, and answers for lists, dead letters and audits."""
