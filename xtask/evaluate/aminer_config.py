"""The configuration of AMiner (logdata-anomaly-miner): its NewMatchPathValueComboDetector over host, identity,
address, port and protocol. aminer.py beside it fills in the paths.

A line of its log is `HOST IDENTITY ADDRESS PORT PROTOCOL TIME`."""

config_properties = {
    "LogResourceList": ["file://@LOG@"],
    "AminerUser": "@USER@",
    "AminerGroup": "@GROUP@",
    "Core.PersistenceDir": "@STATE@",
    "Core.LogDir": "@STATE@/log",
    "Log.StatisticsLevel": 0,
    "Log.DebugLevel": 0,
}

PARTS = ["host", "identity", "address", "port", "protocol"]


class Lines:
    """Writes the line of each anomaly, and nothing else."""

    def __init__(self):
        self.to = open("@FOUND@", "ab")

    def receive_event(self, event_type, event_message, sorted_loglines, event_data, log_atom, event_source):
        self.to.write(log_atom.raw_data + b"\n")
        self.to.flush()
        return True


def build_analysis_pipeline(analysis_context):
    from aminer.analysis import AtomFilters
    from aminer.analysis.NewMatchPathValueComboDetector import NewMatchPathValueComboDetector
    from aminer.analysis.UnparsedAtomHandlers import SimpleUnparsedAtomHandler
    from aminer.input.SimpleByteStreamLineAtomizerFactory import SimpleByteStreamLineAtomizerFactory
    from aminer.parsing.AnyByteDataModelElement import AnyByteDataModelElement
    from aminer.parsing.DelimitedDataModelElement import DelimitedDataModelElement
    from aminer.parsing.FixedDataModelElement import FixedDataModelElement
    from aminer.parsing.SequenceModelElement import SequenceModelElement

    parts = []
    for name in PARTS:
        parts.append(DelimitedDataModelElement(name, b" "))
        parts.append(FixedDataModelElement("after_" + name, b" "))
    parts.append(AnyByteDataModelElement("time"))
    handlers = [Lines()]
    atoms = AtomFilters.SubhandlerFilter(None)
    analysis_context.atomizer_factory = SimpleByteStreamLineAtomizerFactory(
        SequenceModelElement("line", parts), [atoms], handlers)
    # A line that it does not understand comes out too, and is told by aminer.py.
    atoms.add_handler(SimpleUnparsedAtomHandler(handlers), stop_when_handled_flag=True)
    detector = NewMatchPathValueComboDetector(
        analysis_context.aminer_config, ["/line/" + name for name in PARTS], handlers, learn_mode=True)
    analysis_context.register_component(detector, component_name="combination")
    atoms.add_handler(detector)
