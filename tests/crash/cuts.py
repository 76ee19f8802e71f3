def points(*_): return []
def run_case(*_): pass
