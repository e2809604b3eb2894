"""What every stage shares: config, plan, image stores, seeds, atomic files, logging, devices."""
