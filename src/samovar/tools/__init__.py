"""Tools that a prompt's model may call: files, a shell by an allow-list, pages, workflows, servers."""
