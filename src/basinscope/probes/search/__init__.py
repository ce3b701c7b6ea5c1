"""Searches for the first crossing along rays: brackets, rays searched together, rays searched one by one."""
