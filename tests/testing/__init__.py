"""The fixture for people who test their own services, without processes."""
