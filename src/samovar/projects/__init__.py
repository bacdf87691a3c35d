"""Where a project and its user keep things, and which projects the user trusts.

Above: the settings, the folders of the library, and the doors. Below: files. Which settings there are is
passed in, and nothing here knows a workflow.
"""
