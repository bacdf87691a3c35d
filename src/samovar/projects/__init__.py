"""The places of a project's and its user's files, and the projects that the user trusts.

Above: the settings, the folders of the library, and the doors. Below: files. Which settings there are is
passed in, and nothing here knows a workflow.
"""
